import { type DynamicModule, Module } from '@nestjs/common';
import { BreachedPasswords } from './breached-passwords';
import { PasswordPolicy } from './password-policy';
import { PasswordStrength, type StrengthFiles } from './password-strength';

@Module({})
export class PasswordsModule {
  static forRoot(files: StrengthFiles): DynamicModule {
    return {
      module: PasswordsModule,
      global: true,
      providers: [
        PasswordPolicy,
        BreachedPasswords,
        { provide: PasswordStrength, useFactory: () => new PasswordStrength(files) },
      ],
      exports: [PasswordPolicy],
    };
  }
}
