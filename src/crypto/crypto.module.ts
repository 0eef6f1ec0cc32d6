import { type DynamicModule, Global, Module } from '@nestjs/common';
import { KeyRing, type Secrets } from './key-ring';
import { DEFAULT_HASH_COST, HashCost, PasswordHasher } from './password-hasher';
import { Random } from '../core/random';

@Global()
@Module({})
export class CryptoModule {
  static forRoot(secrets: Secrets, hashCost: HashCost = DEFAULT_HASH_COST): DynamicModule {
    return {
      module: CryptoModule,
      providers: [
        { provide: KeyRing, useValue: new KeyRing(secrets) },
        {
          provide: PasswordHasher,
          inject: [Random],
          useFactory: (random: Random) => new PasswordHasher(hashCost, random),
        },
      ],
      exports: [KeyRing, PasswordHasher],
    };
  }
}
