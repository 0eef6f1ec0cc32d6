/** How bad it is: `warn` works and ought to be changed, `fail` does not work or is dangerous. */
export type Severity = 'ok' | 'warn' | 'fail';

/** What a check of `doctor` found. */
export interface Finding {
  check: string;
  severity: Severity;
  message: string;
  /** The setting to change; absent where there is none, or nothing to be changed. */
  setting?: string;
}

export const ok = (check: string, message: string): Finding => ({ check, severity: 'ok', message });

export const warn = (check: string, message: string, setting?: string): Finding => ({
  ...{ check, severity: 'warn', message },
  ...(setting !== undefined && { setting }),
});

export const fail = (check: string, message: string, setting?: string): Finding => ({
  ...{ check, severity: 'fail', message },
  ...(setting !== undefined && { setting }),
});
