import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { AccessModule } from './access/access.module';
import { ApiKeysModule } from './api-keys/api-keys.module';
import { AuditModule } from './audit/audit.module';
import { AuthModule } from './auth/auth.module';
import type { Config } from './config/config';
import { ConfigModule } from './config/config.module';
import { CoreModule, type CoreParts } from './core/core.module';
import { ErrorFilter } from './core/error.filter';
import { RequestValidationPipe } from './core/request-validation.pipe';
import { CryptoModule } from './crypto/crypto.module';
import type { Secrets } from './crypto/key-ring';
import type { HashCost } from './crypto/password-hasher';
import { DatabaseModule } from './database/database.module';
import { HealthModule } from './health/health.module';
import { HttpModule } from './http/http.module';
import { ObservabilityModule } from './observability/observability.module';
import type { StrengthFiles } from './passwords/password-strength';
import { PasswordsModule } from './passwords/passwords.module';
import { RateLimitModule } from './rate-limit/rate-limit.module';
import { RedisModule } from './redis/redis.module';
import { RevocationModule } from './revocation/revocation.module';
import { SessionsModule } from './sessions/sessions.module';
import { UsersModule } from './users/users.module';

/** What an application is put together from. */
export interface AppParts extends CoreParts {
  config: Config;
  secrets: Secrets;
  dataSource: DataSource;
  /** What a hashing thread runs. */
  hashWorkerFile: string;
  hashCost?: HashCost | undefined;
  strengthFiles: StrengthFiles;
}

/** All rooms of the house. Nothing else imports every feature. */
@Module({})
export class AppModule {
  static forRoot({
    config,
    secrets,
    dataSource,
    hashWorkerFile,
    hashCost,
    strengthFiles,
    ...core
  }: AppParts): DynamicModule {
    return {
      module: AppModule,
      // Nest stops these from the last to the first: what writes at a stop stands below what it writes through.
      imports: [
        CoreModule.forRoot(core),
        ConfigModule.forRoot(config),
        CryptoModule.forRoot(secrets, hashWorkerFile, hashCost),
        DatabaseModule.forRoot(dataSource),
        RedisModule,
        HttpModule,
        ObservabilityModule,
        AccessModule,
        AuditModule,
        RevocationModule,
        PasswordsModule.forRoot(strengthFiles),
        RateLimitModule,
        UsersModule,
        SessionsModule,
        ApiKeysModule,
        AuthModule,
        HealthModule,
      ],
      providers: [
        { provide: APP_FILTER, useClass: ErrorFilter },
        { provide: APP_PIPE, useClass: RequestValidationPipe },
      ],
    };
  }
}
