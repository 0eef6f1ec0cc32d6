import { Global, Module } from '@nestjs/common';
import { AttemptLedger } from './attempt-ledger';
import { CounterKeeper } from './counter-keeper';
import { LimitCountersCleanup } from './limit-counters-cleanup';
import { LimitHits } from './limit-hits';
import { PasswordAttempts } from './password-attempts';
import { PasswordAttemptsCleanup } from './password-attempts-cleanup';
import { RateLimits } from './rate-limits';

@Global()
@Module({
  providers: [
    RateLimits,
    CounterKeeper,
    PasswordAttempts,
    AttemptLedger,
    LimitHits,
    PasswordAttemptsCleanup,
    LimitCountersCleanup,
  ],
  exports: [RateLimits, PasswordAttempts, LimitHits],
})
export class RateLimitModule {}
