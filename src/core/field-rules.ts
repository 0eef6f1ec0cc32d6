import { isIP } from 'node:net';
import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { ValidateBy, ValidateIf } from 'class-validator';
import { countCodePoints } from './canonical';

/** A string of at most `most` characters, counted as code points. */
export const MaxCharacters = (most: number) =>
  applyDecorators(
    ValidateBy({
      name: 'maxCharacters',
      constraints: [most],
      validator: {
        validate: (value) => typeof value === 'string' && countCodePoints(value) <= most,
        defaultMessage: () => `$property must be no longer than ${most} characters`,
      },
    }),
    ApiProperty({ maxLength: most }),
  );

/** A string of at least `least` characters, counted as code points. */
export const MinCharacters = (least: number) =>
  applyDecorators(
    ValidateBy({
      name: 'minCharacters',
      constraints: [least],
      validator: {
        validate: (value) => typeof value === 'string' && countCodePoints(value) >= least,
        defaultMessage: () => `$property must be no shorter than ${least} characters`,
      },
    }),
    ApiProperty({ minLength: least }),
  );

/** A string that UTF-8 can carry: a lone surrogate would be stored as another character. */
export const IsWellFormed = () =>
  ValidateBy({
    name: 'isWellFormed',
    validator: {
      validate: (value) => typeof value === 'string' && value.isWellFormed(),
      defaultMessage: () => '$property must be well-formed Unicode',
    },
  });

/** What turns the direction of the text behind it (UAX #9 section 2): `\u202Etxt.exe` reads as `exe.txt`. */
const TURNS_TEXT = /[\u202A-\u202E\u2066-\u2069]/;

/** A string with something to see in it, and nothing that could break a line or a terminal, or pass it off as another. */
export const IsVisible = () =>
  ValidateBy({
    name: 'isVisible',
    validator: {
      validate: (value) =>
        typeof value === 'string' && /\S/u.test(value) && !/\p{Cc}/u.test(value) && !TURNS_TEXT.test(value),
      defaultMessage: () =>
        '$property must have a visible character, and none that controls a terminal or turns text around',
    },
  });

/** A single IPv4 or IPv6 address, without a zone. */
export const IsAddress = () =>
  applyDecorators(
    ValidateBy({
      name: 'isAddress',
      validator: {
        validate: (value) => typeof value === 'string' && isIP(value) !== 0 && !value.includes('%'),
        defaultMessage: () => '$property must be an IPv4 or IPv6 address',
      },
    }),
    ApiProperty({ maxLength: 45 }),
  );

/** The field may be left out; `null` is a value like any other, and wrong like any other. */
export const MayBeAbsent = () => ValidateIf((_, value) => value !== undefined);

/** Says in the API document that a field is a point in time, RFC 3339. */
export const ApiInstant = () => ApiProperty({ format: 'date-time' });

/** The field may be left out, or taken back with `null`. */
export const MayBeNull = () => ValidateIf((_, value) => value !== undefined && value !== null);
