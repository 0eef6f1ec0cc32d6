import { Module } from '@nestjs/common';
import { SessionLifetimes } from './session-lifetimes';
import { SessionsService } from './sessions.service';

@Module({ providers: [SessionsService, SessionLifetimes], exports: [SessionsService] })
export class SessionsModule {}
