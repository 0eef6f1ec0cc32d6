import { IsBoolean } from 'class-validator';
import { MayBeAbsent } from '../core/field-rules';
import { IsNewPassword, IsPresentedPassword } from '../users/user-rules';

export class ChangePasswordRequest {
  /**
   * The current password.
   * @example tidal-lantern-47-orchid
   */
  @IsPresentedPassword()
  currentPassword: string;

  /**
   * The new password, taken exactly as sent. The same rules as at sign-up.
   * @example copper-violin-drifts-82
   */
  @IsNewPassword()
  newPassword: string;

  /**
   * Whether all API keys of the account are deleted too. Default: `false`.
   * @example false
   */
  @MayBeAbsent()
  @IsBoolean()
  revokeKeys?: boolean;
}

export class DeleteAccountRequest {
  /**
   * The account's password, as proof.
   * @example tidal-lantern-47-orchid
   */
  @IsPresentedPassword()
  password: string;
}
