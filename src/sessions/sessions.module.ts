import { Module } from '@nestjs/common';
import { OperatorSessions } from './operator-sessions';
import { OwnSessionsService } from './own-sessions.service';
import { SessionCleanup } from './session-cleanup';
import { SessionLifetimes } from './session-lifetimes';
import { SessionUsage } from './session-usage';
import { SessionsController } from './sessions.controller';
import { SessionsService } from './sessions.service';

@Module({
  controllers: [SessionsController],
  providers: [
    SessionsService,
    OwnSessionsService,
    OperatorSessions,
    SessionLifetimes,
    SessionUsage,
    SessionCleanup,
  ],
  exports: [SessionsService, SessionUsage],
})
export class SessionsModule {}
