import { readFileSync } from 'node:fs';
import { AuditExport } from '../audit/audit-export';
import { AuditVerifier, type Verdict } from '../audit/audit-verifier';
import type { Head } from '../audit/event-seal';
import { type Command, type Given, UsageError } from './command';

/** A head on the command line: `SEQUENCE:LINK`. */
const HEAD = /^(\d{1,15}):([0-9a-f]{64})$/;

const AFTER = { after: { type: 'string' } } as const;

export const AUDIT_COMMANDS: Command[] = [
  {
    name: 'audit verify',
    parameters: '[--head HEAD] [--after HEAD]',
    summary:
      'goes through the sealed audit trail and names the first event that was altered or is missing; --head: the trail must reach that far; --after: begins behind it',
    options: { head: { type: 'string' }, ...AFTER },
    async run(context, given) {
      const expectations = { head: headOf(given, 'head'), after: headOf(given, 'after') };
      refuseWords(given);
      const verdict = await context.get(AuditVerifier).verify(expectations);
      return { text: describe(verdict), data: verdict, bad: !verdict.intact };
    },
  },
  {
    name: 'audit head',
    parameters: '',
    summary:
      'prints how far the audit trail is sealed, to be kept where nobody who can write the database can',
    async run(context, given) {
      refuseWords(given);
      const head = await context.get(AuditExport).head();
      return { text: toText(head), data: head };
    },
  },
  {
    name: 'audit export',
    parameters: '[--after HEAD]',
    summary: 'prints the sealed events as JSON, one a line; the last line serves as a head',
    options: AFTER,
    async run(context, given, print) {
      const after = headOf(given, 'after');
      refuseWords(given);
      for await (const event of context.get(AuditExport).events(after)) await print(JSON.stringify(event));
    },
  },
];

/**
 * A head, as text or out of a file: what `audit head` printed, in either form, or what `audit export` did.
 *
 * @throws UsageError
 */
function headOf({ options }: Given, option: 'head' | 'after'): Head | undefined {
  const given = options[option];
  if (given === undefined) return undefined;
  const text = HEAD.test(given) ? given : lastLineOf(given, option);
  const [, sequence, link] = HEAD.exec(text) ?? HEAD.exec(fromJson(text)) ?? [];
  if (link === undefined) throw new UsageError(`--${option}: there is no head in '${given}'.`);
  return { sequence: Number(sequence), link };
}

function lastLineOf(file: string, option: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  } catch {
    throw new UsageError(`--${option}: '${file}' is neither SEQUENCE:LINK nor a file that can be read.`);
  }
}

function fromJson(text: string): string {
  try {
    return toText(JSON.parse(text) as Head);
  } catch {
    return '';
  }
}

function toText({ sequence, link }: Head): string {
  return `${sequence}:${link}`;
}

function refuseWords({ words }: Given): void {
  if (words.length > 0) throw new UsageError(`'${words[0]}' has no meaning here.`);
}

function describe({ fault, verified, head, unsealed, adopted }: Verdict): string {
  if (fault) return `Broken. ${fault.message} Before it, ${verified} events were as they should be.`;
  const lines = [`Intact: ${verified} sealed events, ${unsealed} more wait to be sealed.`];
  if (adopted.count > 0) {
    lines.push(
      `${adopted.count} of them, up to number ${adopted.lastSequence}, came without a mark, as an older release writes them.`,
    );
  }
  return [...lines, `Head: ${toText(head)}`].join('\n');
}
