import { Body, Controller, Get, Patch, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CallOrigin, CurrentPrincipal, Public, RequireScopes, SessionOnly } from '../access/decorators';
import type { Principal } from '../access/principal';
import { USERS_READ } from '../access/scopes';
import { Config } from '../config/config';
import { ApiError } from '../core/errors';
import type { Origin } from '../core/origin';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { ApiSuccess } from '../openapi/api-success.decorator';
import { ChangesAccount, RateLimited } from '../rate-limit/rate-limited.decorator';
import { SignUpRequest, toProfile, UpdateProfileRequest, UserProfile } from './users.dto';
import { UsersService } from './users.service';

@ApiTags('Users')
@Controller('users')
export class UsersController {
  constructor(
    private readonly users: UsersService,
    private readonly config: Config,
  ) {}

  /**
   * Sign up
   *
   * @remarks Makes an account. It can sign in at once. Refused where the operator has set `REGISTRATION=closed`.
   */
  @ApiSuccess('The new account. No session comes with it: sign in next.')
  @Post()
  @Public()
  @RateLimited('sign-up')
  @ApiErrors('registration_closed', 'username_taken', 'email_taken', 'overloaded')
  async signUp(@Body() request: SignUpRequest, @CallOrigin() origin: Origin): Promise<UserProfile> {
    if (!this.config.registrationOpen) throw new ApiError('registration_closed');
    return toProfile(await this.users.register(request, origin));
  }

  /**
   * Read the caller's profile
   *
   * @remarks For a signed-in user, or an API key with the scope `users:read`: the profile of its owner.
   */
  @ApiSuccess('The account behind the credential.')
  @Get('me')
  @RequireScopes(USERS_READ)
  async getProfile(@CurrentPrincipal() { userId }: Principal): Promise<UserProfile> {
    return toProfile(await this.users.profileOf(userId));
  }

  /**
   * Change the user name or the e-mail address
   *
   * @remarks What is left out stays as it is.
   */
  @ApiSuccess('The account as it is from now on.')
  @Patch('me')
  @SessionOnly()
  @ChangesAccount()
  @ApiErrors('username_taken', 'email_taken')
  async updateProfile(
    @CurrentPrincipal() principal: Principal,
    @Body() request: UpdateProfileRequest,
    @CallOrigin() origin: Origin,
  ): Promise<UserProfile> {
    return toProfile(await this.users.updateProfile(principal, request, origin));
  }
}
