import { IsArray, IsBoolean, IsString, ValidateBy } from 'class-validator';
import { ALL_SCOPES, MOST_SCOPES, SCOPE_SHAPE } from '../access/scopes';
import { MayBeAbsent } from '../core/field-rules';
import { isId } from '../core/ids';
import { beginsWithRealDay } from '../core/instant';
import { IsEmailAddress, IsUsername } from './user-rules';

/** From 1970 on: MySQL has no year 0. */
const INSTANT = /^(19[7-9]\d|2\d{3})-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;

const IsUserId = () =>
  ValidateBy({
    name: 'isUserId',
    validator: {
      validate: (value) => isId('user', value),
      defaultMessage: () => '$property must be an id of a user, as an export has it',
    },
  });

const IsInstant = () =>
  ValidateBy({
    name: 'isInstant',
    validator: {
      validate: (value) =>
        typeof value === 'string' &&
        INSTANT.test(value) &&
        beginsWithRealDay(value) &&
        !isNaN(Date.parse(value)),
      defaultMessage: () => '$property must be an instant in UTC, such as 2026-11-23T10:00:00Z',
    },
  });

const AreScopes = () =>
  ValidateBy({
    name: 'areScopes',
    validator: {
      validate: (value) =>
        Array.isArray(value) &&
        value.length <= MOST_SCOPES &&
        new Set(value).size === value.length &&
        value.every(
          (scope) => scope === ALL_SCOPES || (typeof scope === 'string' && SCOPE_SHAPE.test(scope)),
        ),
      defaultMessage: () =>
        `$property must be up to ${MOST_SCOPES} scopes, each once, as resource:action or *`,
    },
  });

/** A user of another system, with the hash that was kept there. Read from an operator's file, never from a request. */
export class ImportedUser {
  /** Unique without regard to case, kept as typed. */
  @IsUsername()
  username: string;

  /** Unique without regard to case, kept as typed. */
  @IsEmailAddress()
  email: string;

  /** In one of the forms that docs/operations.md lists. Replaced by one of ours at the first sign-in. */
  @IsString()
  passwordHash: string;

  /** Left out, a new one. For users of another Latchkey, whose ids other services know. */
  @MayBeAbsent()
  @IsUserId()
  id?: string;

  /** When the account was made; left out, now. */
  @MayBeAbsent()
  @IsInstant()
  createdAt?: string;

  /** Whether nobody may sign in to it; left out, no. */
  @MayBeAbsent()
  @IsBoolean()
  disabled?: boolean;

  /** What it may do at most; left out, everything that an operator need not grant by name. */
  @MayBeAbsent()
  @IsArray()
  @AreScopes()
  scopes?: string[];
}

/** Names of the fields of an import line. */
export const IMPORTED_FIELDS = [
  ...['username', 'email', 'passwordHash'],
  ...['id', 'createdAt', 'disabled', 'scopes'],
] as const;
