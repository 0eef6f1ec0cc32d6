import { type DynamicModule, Global, Module } from '@nestjs/common';
import { KeyRing, type Secrets } from './key-ring';
import { DEFAULT_HASH_COST, PasswordHasher } from './password-hasher';
import { Clock } from '../core/clock';
import { Metrics } from '../core/metrics';
import { Random } from '../core/random';
import { Tracing } from '../core/tracing';

@Global()
@Module({})
export class CryptoModule {
  static forRoot(secrets: Secrets, workerFile: string, hashCost = DEFAULT_HASH_COST): DynamicModule {
    return {
      module: CryptoModule,
      providers: [
        { provide: KeyRing, useValue: new KeyRing(secrets) },
        {
          provide: PasswordHasher,
          inject: [Random, Clock, Metrics, Tracing],
          useFactory: (random: Random, clock: Clock, metrics: Metrics, tracing: Tracing) =>
            new PasswordHasher(hashCost, workerFile, random, { clock, metrics, tracing }),
        },
      ],
      exports: [KeyRing, PasswordHasher],
    };
  }
}
