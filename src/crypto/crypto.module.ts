import { type DynamicModule, Global, Module } from '@nestjs/common';
import { KeyRing, type Secrets } from './key-ring';
import { DEFAULT_HASH_COST, PasswordHasher } from './password-hasher';
import { Random } from '../core/random';

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
          inject: [Random],
          useFactory: (random: Random) => new PasswordHasher(hashCost, workerFile, random),
        },
      ],
      exports: [KeyRing, PasswordHasher],
    };
  }
}
