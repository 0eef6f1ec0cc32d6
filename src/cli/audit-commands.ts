import { AuditExport, type Break, type ExportedEvent } from '../audit/audit-export';
import { AuditVerifier, type Verdict } from '../audit/audit-verifier';
import type { Head } from '../audit/event-seal';
import { type Command, CommandError, type Given, UsageError } from './command';
import { lastLineOf } from './last-line';
import type { Progress } from './progress';

/** A head on the command line: `SEQUENCE:LINK`. */
const HEAD = /^(\d{1,15}):([0-9a-f]{64})$/;

const HEAD_FORMS = 'a head: SEQUENCE:LINK, or a file whose last line is one';

const AFTER = { after: { value: 'HEAD', summary: `begins behind ${HEAD_FORMS}` } };

export const AUDIT_COMMANDS: Command[] = [
  {
    name: 'audit verify',
    summary: 'goes through the sealed audit trail and names the first event that was altered or is missing',
    options: { head: { value: 'HEAD', summary: `the trail must reach as far as ${HEAD_FORMS}` }, ...AFTER },
    examples: [
      {
        line: 'latchkey audit verify --head /mnt/elsewhere/heads',
        purpose: 'with a head that was kept elsewhere',
      },
      { line: 'latchkey audit verify --after 120000:9f2c…', purpose: 'after events up to there were pruned' },
    ],
    async run(given, { services, progress }) {
      const expectations = { head: headOf(given, 'head'), after: headOf(given, 'after') };
      const verdict = await (
        await services()
      )
        .get(AuditVerifier)
        .verify(expectations, (events) => progress.show(`${events} events verified`));
      return { text: describe(verdict), data: verdict, bad: !verdict.intact };
    },
  },
  {
    name: 'audit head',
    summary:
      'prints how far the audit trail is sealed, to be kept where nobody who can write the database can',
    examples: [{ line: 'latchkey audit head >> /mnt/elsewhere/heads', purpose: 'every night' }],
    async run(_, { services }) {
      const head = await (await services()).get(AuditExport).head();
      return { text: toText(head), data: head };
    },
  },
  {
    name: 'audit export',
    summary: 'prints the sealed events as JSON, one a line; the last line serves as a head',
    options: {
      ...AFTER,
      unsealed: { summary: 'prints first the events that wait to be sealed, without number and link' },
    },
    examples: [
      { line: 'latchkey audit export > events.jsonl', purpose: 'everything' },
      { line: 'latchkey audit export --after events.jsonl >> events.jsonl', purpose: 'what has come since' },
      { line: 'latchkey audit export --unsealed > lost-events.jsonl', purpose: 'before a restore' },
    ],
    async run(given, { services, json, progress }) {
      const after = headOf(given, 'after');
      const trail = (await services()).get(AuditExport);
      if (after) await requireNoBreak(trail, after);
      if (given.flags.has('unsealed'))
        return { rows: oneAfterTheOther(trail.waiting(), trail.events(after)) };
      return { rows: withWarning(trail, after, json, progress) };
    },
  },
];

/**
 * What does not go on where an export ended must not be written behind it.
 *
 * @throws CommandError
 */
async function requireNoBreak(trail: AuditExport, after: Head): Promise<void> {
  const found = await trail.breakBehind(after);
  if (found) throw new CommandError(describeBreak(found, after.sequence));
}

function describeBreak(found: Break, sequence: number): string {
  if (found.kind === 'another_trail') {
    return `--after: this trail is not the one that head number ${sequence} was taken from, as after a restore. Begin a new file, without --after.`;
  }
  const left = found.next === undefined ? 'none is there' : `they are there from number ${found.next} on`;
  return `--after: events behind number ${sequence} have been removed; ${left}. Begin a new file, without --after.`;
}

async function* oneAfterTheOther<T>(...parts: AsyncIterable<T>[]): AsyncGenerator<T> {
  for (const part of parts) yield* part;
}

/** An export that misses the last events must not pass for all of them. */
async function* withWarning(
  trail: AuditExport,
  after: Head | undefined,
  json: boolean,
  progress: Progress,
): AsyncGenerator<ExportedEvent> {
  yield* trail.events(after);
  const unsealed = await trail.unsealed();
  if (unsealed === 0) return;
  const warning = `Events that wait to be sealed and are left out: ${unsealed}; --unsealed prints them too.`;
  progress.tell(json ? JSON.stringify({ warning, unsealed }) : warning);
}

/**
 * A head, as text or out of a file: what `audit head` printed, in either form, or what `audit export` did.
 *
 * @throws UsageError, CommandError where it stands in a file that cannot be read
 */
function headOf({ options }: Given, option: 'head' | 'after'): Head | undefined {
  const given = options[option];
  if (given === undefined) return undefined;
  const text = HEAD.test(given) ? given : readHead(given, option);
  const [, sequence, link] = HEAD.exec(text) ?? HEAD.exec(fromJson(text)) ?? [];
  if (link === undefined) throw new UsageError(`--${option}: there is no head in '${given}'.`);
  return { sequence: Number(sequence), link };
}

function readHead(file: string, option: string): string {
  try {
    return lastLineOf(file);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new CommandError(`--${option}: ${file} cannot be read (${code}).`);
    throw new UsageError(`--${option}: '${file}' is neither SEQUENCE:LINK nor a file that is there.`);
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
