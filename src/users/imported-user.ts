import { IsString } from 'class-validator';
import { IsEmailAddress, IsUsername } from './user-rules';

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
}
