import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CurrentPrincipal, SessionOnly } from '../access/decorators';
import type { Principal } from '../access/principal';
import { EventHistory } from '../audit/event-history';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { ApiSuccess } from '../openapi/api-success.decorator';
import { decodeCursor, encodeCursor } from './event-cursor';
import { DEFAULT_PAGE, EventsPage, EventsQuery, toAccountEvent } from './events.dto';

@ApiTags('Authentication')
@Controller('auth/events')
@SessionOnly()
export class EventsController {
  constructor(private readonly history: EventHistory) {}

  /**
   * List what happened to the account
   *
   * @remarks Sign-ins and failed ones, sign-outs, changes of password, profile and keys, and what was refused: when, and
   * from where. Newest first. Of failures and refusals, which anybody can cause at will, at most 20 of a kind are kept
   * in an hour.
   */
  @ApiSuccess('One page of events. For the next one send `nextCursor` as `cursor`.')
  @Get()
  @ApiErrors('validation_failed')
  async listEvents(
    @CurrentPrincipal() { userId }: Principal,
    @Query() { cursor, limit }: EventsQuery,
  ): Promise<EventsPage> {
    const before = cursor === undefined ? undefined : decodeCursor(cursor);
    const { events, next } = await this.history.page(userId, before, Number(limit ?? DEFAULT_PAGE));
    return { items: events.map(toAccountEvent), nextCursor: next === undefined ? null : encodeCursor(next) };
  }
}
