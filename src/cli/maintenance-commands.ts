import { PasswordAttemptsCleanup } from '../rate-limit/password-attempts-cleanup';
import { RevocationCleanup } from '../revocation/revocation-cleanup';
import { SessionCleanup } from '../sessions/session-cleanup';
import type { Command } from './command';

export const MAINTENANCE_COMMANDS: Command[] = [
  {
    name: 'cleanup',
    parameters: '',
    summary: 'removes dead rows now; the server does so by itself, a little at a time',
    async run(context) {
      const sessions = await context.get(SessionCleanup).sweepAll();
      const revocations = await context.get(RevocationCleanup).sweepAll();
      const passwordAttempts = await context.get(PasswordAttemptsCleanup).sweepAll();
      return {
        text: `Removed ${sessions} sessions, ${revocations} lines of the revocation feed and ${passwordAttempts} counts of password attempts.`,
        data: { sessions, revocations, passwordAttempts },
      };
    },
  },
];
