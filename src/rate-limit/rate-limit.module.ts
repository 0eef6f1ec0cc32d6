import { Global, Module } from '@nestjs/common';
import { AttemptLedger } from './attempt-ledger';
import { LimitHits } from './limit-hits';
import { PasswordAttempts } from './password-attempts';
import { PasswordAttemptsCleanup } from './password-attempts-cleanup';
import { RateLimits } from './rate-limits';

@Global()
@Module({
  providers: [RateLimits, PasswordAttempts, AttemptLedger, LimitHits, PasswordAttemptsCleanup],
  exports: [RateLimits, PasswordAttempts, LimitHits],
})
export class RateLimitModule {}
