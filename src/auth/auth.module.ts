import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { ApiKeysModule } from '../api-keys/api-keys.module';
import { KeyRing } from '../crypto/key-ring';
import { SessionsModule } from '../sessions/sessions.module';
import { UsersModule } from '../users/users.module';
import { AccessTokens } from './access-tokens';
import { AccountController } from './account.controller';
import { AccountService } from './account.service';
import { AuthController } from './auth.controller';
import { AuthService } from './auth.service';
import { EventsController } from './events.controller';
import { IntrospectionController } from './introspection.controller';
import { IntrospectionService } from './introspection.service';
import { SignInLimits } from './sign-in-limits';
import { SignInOutcomes } from './sign-in-outcomes';
import { SessionTokenStrategy } from './session-token.strategy';
import { SessionTokens } from './session-tokens';
import { VerifyController } from './verify.controller';

@Module({
  imports: [
    UsersModule,
    SessionsModule,
    ApiKeysModule,
    JwtModule.registerAsync({
      inject: [KeyRing],
      // A KeyObject: from text or a Buffer the library would make one for every token, at forty times the cost.
      useFactory: (keys: KeyRing) => ({
        secret: keys.accessToken.current,
        signOptions: { algorithm: 'HS256' },
      }),
    }),
  ],
  controllers: [
    AuthController,
    AccountController,
    EventsController,
    VerifyController,
    IntrospectionController,
  ],
  providers: [
    AuthService,
    AccountService,
    AccessTokens,
    SessionTokens,
    SignInLimits,
    SignInOutcomes,
    SessionTokenStrategy,
    IntrospectionService,
  ],
  exports: [AccountService],
})
export class AuthModule {}
