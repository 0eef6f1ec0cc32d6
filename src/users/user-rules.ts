import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { isEmail, IsString, Matches, ValidateBy } from 'class-validator';
import { canonical } from '../core/canonical';
import { IsVisible, IsWellFormed, MaxCharacters, MinCharacters } from '../core/field-rules';

const USERNAME = /^[A-Za-z0-9._-]*$/;

/** Longest address that SMTP can carry (RFC 5321 section 4.5.3.1.3), which is also what the column holds. */
const EMAIL_LENGTH = 254;

/** What a user may be called. */
export const IsUsername = () =>
  applyDecorators(
    IsString(),
    MinCharacters(3),
    MaxCharacters(64),
    Matches(USERNAME, { message: '$property may hold letters, digits, dots, underscores and hyphens only' }),
    ApiProperty({ pattern: USERNAME.source }),
  );

/** An e-mail address, in its typed and in its canonical form no longer than a column. */
export const IsEmailAddress = () =>
  applyDecorators(
    IsString(),
    MaxCharacters(EMAIL_LENGTH),
    IsVisible(),
    // Of text that is not well-formed the library's own rule throws.
    ValidateBy({
      name: 'isEmail',
      validator: {
        validate: (value) => typeof value === 'string' && value.isWellFormed() && isEmail(value),
        defaultMessage: () => '$property must be an e-mail address',
      },
    }),
    ValidateBy({
      name: 'canonicalLength',
      validator: {
        // Every rule sees every value, and normalizing takes time by the square of what is sent.
        validate: (value) =>
          typeof value === 'string' &&
          value.length <= EMAIL_LENGTH &&
          canonical(value).length <= EMAIL_LENGTH,
        defaultMessage: () => `$property must be no longer than ${EMAIL_LENGTH} characters`,
      },
    }),
    ApiProperty({ format: 'email' }),
  );

/** A password to be set. The least length is a setting, so the password policy checks it. */
export const IsNewPassword = () =>
  applyDecorators(IsString(), MaxCharacters(256), IsWellFormed(), ApiProperty({ format: 'password' }));

/** A password given as proof: any text that could be one. */
export const IsPresentedPassword = () =>
  applyDecorators(IsString(), MaxCharacters(256), ApiProperty({ format: 'password' }));
