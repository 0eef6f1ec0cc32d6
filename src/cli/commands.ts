import { AUDIT_COMMANDS } from './audit-commands';
import type { Command } from './command';
import { DIAGNOSIS_COMMANDS } from './diagnosis-commands';
import { IMPORT_COMMANDS } from './import-commands';
import { KEY_COMMANDS } from './key-commands';
import { MAINTENANCE_COMMANDS } from './maintenance-commands';
import { SESSION_COMMANDS } from './session-commands';
import { USER_COMMANDS } from './user-commands';
import { USER_LISTING_COMMANDS } from './user-listing-commands';

/** Everything that `latchkey` can do. Each has a row in docs/command-line.md; a test looks for it there. */
export const COMMANDS: readonly Command[] = [
  ...USER_COMMANDS,
  ...USER_LISTING_COMMANDS,
  ...IMPORT_COMMANDS,
  ...SESSION_COMMANDS,
  ...KEY_COMMANDS,
  ...AUDIT_COMMANDS,
  ...MAINTENANCE_COMMANDS,
  ...DIAGNOSIS_COMMANDS,
];
