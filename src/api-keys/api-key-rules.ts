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
import { ApiInstant } from '../core/field-rules';

const MOST_SCOPES = 32;
const MOST_RANGES = 50;

/** `resource:action`, free for the team's own APIs, or the one built-in scope without an action. */
const SCOPE = /^(introspect|[A-Za-z0-9][\w.-]{0,30}:[A-Za-z0-9][\w.-]{0,30})$/;

/** RFC 3339 section 5.6. */
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

/** The last second that both engines can store. */
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59);

export const IsScopeList = () =>
  applyDecorators(
    IsArray(),
    ArrayNotEmpty(),
    ArrayMaxSize(MOST_SCOPES),
    ArrayUnique(),
    IsString({ each: true }),
    Matches(SCOPE, { each: true, message: 'each value in $property must be resource:action' }),
    ApiProperty({
      minItems: 1,
      maxItems: MOST_SCOPES,
      uniqueItems: true,
      items: { type: 'string', pattern: SCOPE.source },
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
    ApiProperty({ minItems: 1, maxItems: MOST_RANGES, uniqueItems: true }),
  );

/** A point in time with its offset from UTC. */
export const IsInstant = () =>
  applyDecorators(
    ValidateBy({
      name: 'isInstant',
      validator: {
        // The comparison is false for NaN, which is what no real date gives.
        validate: (value) => typeof value === 'string' && INSTANT.test(value) && Date.parse(value) <= LATEST,
        defaultMessage: () => '$property must be an RFC 3339 date and time with Z or an offset',
      },
    }),
    ApiInstant(),
  );
