import { Controller, Delete, Get, HttpCode, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CallOrigin, CurrentPrincipal, SessionOnly } from '../access/decorators';
import { IdParam } from '../access/id-param';
import type { Principal } from '../access/principal';
import { formatInstant } from '../core/instant';
import type { Origin } from '../core/origin';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { ApiSuccess } from '../openapi/api-success.decorator';
import { deviceName } from './device-name';
import { lastUse, OwnSessionsService } from './own-sessions.service';
import { EndSessionsQuery, ListedSession } from './sessions.dto';

@ApiTags('Sessions')
@Controller('auth/sessions')
@SessionOnly()
export class SessionsController {
  constructor(private readonly sessions: OwnSessionsService) {}

  /**
   * List the account's sessions
   *
   * @remarks Where the account is signed in, the last used first, at most 100.
   */
  @ApiSuccess('All sessions of the account that stand.')
  @Get()
  async listSessions(@CurrentPrincipal() { userId, credentialId }: Principal): Promise<ListedSession[]> {
    const sessions = await this.sessions.list(userId);
    return sessions.map((session) => ({
      sessionId: session.id,
      createdAt: formatInstant(session.createdAt),
      lastUsed: formatInstant(lastUse(session)),
      expiresAt: formatInstant(session.idleEndsAt),
      ip: session.ip,
      userAgent: deviceName(session.userAgent),
      current: session.id === credentialId,
    }));
  }

  /**
   * End every session
   *
   * @remarks Signs the account out everywhere, or everywhere else with `?keep=current`. API keys go on.
   */
  @ApiSuccess('All sessions, or all others, have ended.')
  @Delete()
  @HttpCode(204)
  @ApiErrors('validation_failed')
  async endSessions(
    @CurrentPrincipal() principal: Principal,
    @Query() { keep }: EndSessionsQuery,
    @CallOrigin() origin: Origin,
  ): Promise<void> {
    await this.sessions.endAll(principal, keep === 'current', origin);
  }

  /**
   * End one session
   *
   * @remarks Its refresh token and all its access tokens stop working, at once on the instance that answers, within a second
   * on every other. With the id of the current session it is a sign-out.
   */
  @ApiSuccess('The session has ended.')
  @Delete(':sessionId')
  @HttpCode(204)
  @ApiErrors('session_not_found')
  async endSession(
    @CurrentPrincipal() principal: Principal,
    @IdParam('sessionId', 'sess', 'session_not_found', 'A `sessionId` from the list of sessions.')
    sessionId: string,
    @CallOrigin() origin: Origin,
  ): Promise<void> {
    await this.sessions.end(principal, sessionId, origin);
  }
}
