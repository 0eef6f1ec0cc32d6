import { Injectable } from '@nestjs/common';
import { Config } from '../config/config';
import { countCodePoints } from '../core/canonical';
import { fieldError } from '../core/errors';

/** What a new password must be like (NIST SP 800-63B section 3.1.1): long enough, and nothing else asked of its make-up. */
@Injectable()
export class PasswordPolicy {
  constructor(private readonly config: Config) {}

  /**
   * @param field name of the request's field, for the answer
   * @throws ApiError `validation_failed` naming the rule that is broken
   */
  check(field: string, password: string): void {
    const least = this.config.passwordMinLength;
    if (countCodePoints(password) < least) {
      throw fieldError(field, 'minCharacters', `${field} must be no shorter than ${least} characters`);
    }
  }
}
