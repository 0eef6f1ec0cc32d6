import { applyDecorators } from '@nestjs/common';
import {
  ArrayMaxSize,
  ArrayNotEmpty,
  ArrayUnique,
  IsArray,
  IsString,
  Matches,
  ValidateBy,
} from 'class-validator';
import { ApiProperty } from '@nestjs/swagger';
import { isAddressRange } from '../access/address-ranges';
import { MOST_SCOPES, SCOPE_SHAPE } from '../access/scopes';
import { ApiInstant, IsVisible, IsWellFormed, MaxCharacters, MinCharacters } from '../core/field-rules';
import { beginsWithRealDay } from '../core/instant';

const MOST_RANGES = 50;

/** An IPv6 address that ends like an IPv4 one, and `/128`. None longer is one. */
const LONGEST_RANGE = 49;

/** Ninety days: who has not changed a secret by then has forgotten it. */
export const LONGEST_OVERLAP_SECONDS = 7_776_000;

/** RFC 3339 section 5.6. */
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

/** The last second that both engines can store. */
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59);

/** What an owner may call a key: in any script. */
export const IsKeyName = () =>
  applyDecorators(IsString(), MinCharacters(1), MaxCharacters(100), IsWellFormed(), IsVisible());

export const IsScopeList = () =>
  applyDecorators(
    IsArray(),
    ArrayNotEmpty(),
    ArrayMaxSize(MOST_SCOPES),
    ArrayUnique(),
    IsString({ each: true }),
    Matches(SCOPE_SHAPE, { each: true, message: 'each value in $property must be resource:action' }),
    ApiProperty({
      minItems: 1,
      maxItems: MOST_SCOPES,
      uniqueItems: true,
      items: { type: 'string', pattern: SCOPE_SHAPE.source },
    }),
  );

export const IsAddressRangeList = () =>
  applyDecorators(
    IsArray(),
    ArrayNotEmpty(),
    ArrayMaxSize(MOST_RANGES),
    ArrayUnique(),
    ValidateBy(
      {
        name: 'isAddressRange',
        validator: {
          validate: (value) => typeof value === 'string' && isAddressRange(value),
          defaultMessage: () => 'each value in $property must be an IPv4 or IPv6 address or CIDR range',
        },
      },
      { each: true },
    ),
    ApiProperty({
      minItems: 1,
      maxItems: MOST_RANGES,
      uniqueItems: true,
      items: { type: 'string', maxLength: LONGEST_RANGE },
    }),
  );

/** A point in time with its offset from UTC. */
export const IsInstant = () =>
  applyDecorators(
    ValidateBy({
      name: 'isInstant',
      validator: {
        // The comparison is false for NaN, which is what no real date gives.
        validate: (value) =>
          typeof value === 'string' &&
          INSTANT.test(value) &&
          beginsWithRealDay(value) &&
          Date.parse(value) <= LATEST,
        defaultMessage: () => '$property must be an RFC 3339 date and time with Z or an offset',
      },
    }),
    ApiInstant(),
  );
