import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiHeader, ApiTags } from '@nestjs/swagger';
import { CallOrigin, CurrentPrincipal, HasHungUp, Public, SessionOnly } from '../access/decorators';
import type { Principal } from '../access/principal';
import type { Origin } from '../core/origin';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { ApiSuccess } from '../openapi/api-success.decorator';
import { AccessTokens } from './access-tokens';
import { LoginRequest, LoginResponse, LogoutResponse, RefreshRequest, RefreshResponse } from './auth.dto';
import { AuthService, type SignedIn } from './auth.service';
import { IDEMPOTENCY_KEY_HEADER, IdempotencyKey } from './idempotency-key';

@ApiTags('Authentication')
@Controller('auth')
export class AuthController {
  constructor(
    private readonly auth: AuthService,
    private readonly tokens: AccessTokens,
  ) {}

  /**
   * Sign in
   *
   * @remarks Exchanges user name and password for an access token and a refresh token: a new session. A wrong password
   * and an unknown user are told apart unless the operator has set `LOGIN_ERRORS=uniform`. That an account is disabled is
   * said only after the right password. After ten wrong passwords in a row further attempts are answered 429 until a pause
   * has passed, which doubles each time. Send the `deviceToken` of an earlier login to be counted apart from other devices.
   */
  @ApiSuccess('A new session with its tokens. Keep `refreshToken` and `deviceToken`.')
  @Post('login')
  @HttpCode(200)
  @Public()
  @ApiErrors('invalid_credentials', 'user_not_found', 'account_disabled', 'rate_limited', 'overloaded')
  async login(@Body() request: LoginRequest, @CallOrigin() origin: Origin): Promise<LoginResponse> {
    const signedIn = await this.auth.login(request, origin);
    const { user, deviceToken } = signedIn;
    return {
      ...this.toTokens(signedIn),
      deviceToken,
      user: { id: user.id, username: user.username, email: user.email },
    };
  }

  /**
   * Get new tokens
   *
   * @remarks Exchanges a refresh token for a new access token and a new refresh token; the old one is replaced. If the
   * answer is lost, repeat the call: within `REFRESH_GRACE` (10 seconds), or at any time with the same
   * `Idempotency-Key`, it gives the same refresh token again. Any other use of a replaced token ends the session, unless
   * whoever sent it has closed the connection before the answer. On 503 keep the token and repeat.
   */
  @ApiSuccess(
    'New tokens of the same session. Store `refreshToken` before you use anything else of the answer.',
  )
  @Post('refresh')
  @HttpCode(200)
  @Public()
  @ApiHeader({
    name: IDEMPOTENCY_KEY_HEADER,
    required: false,
    description:
      'A random text of 16 to 128 visible ASCII characters, fresh for each refresh and repeated on its retries: proves that a late retry comes from the client that asked first.',
    schema: { type: 'string', minLength: 16, maxLength: 128, pattern: '^[\\x21-\\x7e]+$' },
    example: '6f1c2a90-3f3e-4c39-9c55-0d6fb8c7a1e4',
  })
  @ApiErrors('refresh_token_invalid', 'rate_limited')
  async refresh(
    @Body() { refreshToken }: RefreshRequest,
    @IdempotencyKey() idempotencyKey: string | undefined,
    @CallOrigin() origin: Origin,
    @HasHungUp() hasHungUp: () => boolean,
  ): Promise<RefreshResponse> {
    return this.toTokens(await this.auth.refresh({ refreshToken, idempotencyKey, origin, hasHungUp }));
  }

  /**
   * Sign out
   *
   * @remarks Ends the session of the access token: its refresh token and all its access tokens stop working, at once on
   * the instance that answers, within a second on every other. Other sessions of the account go on.
   */
  @ApiSuccess('The session has ended. Throw its tokens away, but keep the `deviceToken`.')
  @Post('logout')
  @HttpCode(200)
  @SessionOnly()
  async logout(
    @CurrentPrincipal() principal: Principal,
    @CallOrigin() origin: Origin,
  ): Promise<LogoutResponse> {
    await this.auth.logout(principal, origin);
    return { message: 'Successfully logged out' };
  }

  private toTokens({ holder, grant }: SignedIn): RefreshResponse {
    const { token, expiresIn } = this.tokens.issue(grant, holder);
    return {
      token,
      expires_in: expiresIn,
      refreshToken: grant.refreshToken,
      refresh_expires_in: Math.floor((grant.idleEnd.getTime() - grant.issuedAt.getTime()) / 1000),
    };
  }
}
