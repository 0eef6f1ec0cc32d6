import { Injectable } from '@nestjs/common';
import { Config } from '../config/config';
import { countCodePoints } from '../core/canonical';
import { fieldError } from '../core/errors';
import { BreachedPasswords } from './breached-passwords';
import { type NewPasswordPlace, PasswordStrength } from './password-strength';
import { type PasswordOwner, personalWords } from './personal-words';

/** What a check found besides that the password will do. */
export interface Approval {
  /** Whether the breached-password service was to be asked and could not be. */
  breachCheckFailed: boolean;
}

/**
 * What a new password must be like (NIST SP 800-63B section 3.1.1, ASVS 6.2): long enough, not one that others have or
 * guess, not made of what is known about its owner. Nothing is asked of its make-up.
 */
@Injectable()
export class PasswordPolicy {
  constructor(
    private readonly config: Config,
    private readonly strength: PasswordStrength,
    private readonly breached: BreachedPasswords,
  ) {}

  /**
   * Checks a password that is to be set. Opens no transaction; must not be called inside one.
   *
   * @param field name of the request's field, for the answer
   * @param place where it waits for its turn
   * @param requestId for the log
   * @throws ApiError `validation_failed` naming the rule that is broken, `overloaded`
   */
  async check(
    field: string,
    password: string,
    owner: PasswordOwner,
    place: NewPasswordPlace,
    requestId: string,
  ): Promise<Approval> {
    const least = this.config.passwordMinLength;
    if (countCodePoints(password) < least) {
      throw fieldError(field, 'minCharacters', `${field} must be no shorter than ${least} characters`);
    }
    const words = personalWords(owner, this.config.jwtIssuer);
    const weakness = await this.strength.weaknessOf(password, words, place);
    if (weakness === 'personal') {
      throw fieldError(
        field,
        'isNotPersonal',
        `${field} must not be made of the user name, the e-mail address or the name of this service; choose words that have nothing to do with them`,
      );
    }
    if (weakness === 'common') {
      throw fieldError(
        field,
        'isNotCommon',
        `${field} must not be one that is easy to guess; choose a longer one, such as several words that do not belong together`,
      );
    }
    const verdict = await this.breached.look(password, requestId);
    if (verdict === 'breached') {
      throw fieldError(
        field,
        'isNotBreached',
        `${field} must not be one that has been stolen elsewhere; choose another, and change it wherever else it is used`,
      );
    }
    return { breachCheckFailed: verdict === 'failed' };
  }
}
