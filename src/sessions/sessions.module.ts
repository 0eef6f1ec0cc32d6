import { Module } from '@nestjs/common';
import { OperatorSessions } from './operator-sessions';
import { OwnSessionsService } from './own-sessions.service';
import { SessionCleanup } from './session-cleanup';
import { SessionGrants } from './session-grants';
import { SessionLifetimes } from './session-lifetimes';
import { SessionRotation } from './session-rotation';
import { SessionUsage } from './session-usage';
import { SessionsController } from './sessions.controller';
import { SessionsService } from './sessions.service';

@Module({
  controllers: [SessionsController],
  providers: [
    SessionsService,
    SessionRotation,
    SessionGrants,
    OwnSessionsService,
    OperatorSessions,
    SessionLifetimes,
    SessionUsage,
    SessionCleanup,
  ],
  exports: [SessionsService, SessionRotation, SessionUsage],
})
export class SessionsModule {}
