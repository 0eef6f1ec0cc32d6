import { parse } from 'bowser';
import { LRUCache } from 'lru-cache';

const LONGEST_NAME = 60;

/** Names found lately: a list has up to a hundred lines, and looking through each text anew would hold up everybody else. */
const known = new LRUCache<string, { name: string | null }>({ max: 5_000 });

/**
 * A `User-Agent` shortened to what its owner recognises: `Firefox on Windows`, `Safari on iPhone`, `curl`. Programs that
 * are no browsers are called what they call themselves. `null` when there is nothing to tell.
 */
export function deviceName(userAgent: string | null): string | null {
  const text = userAgent?.trim() ?? '';
  if (text === '') return null;
  const { name } = known.get(text) ?? { name: findName(text) };
  known.set(text, { name });
  return name;
}

function findName(text: string): string | null {
  const { browser, os, platform } = parse(text);
  // "MyApp/3.1 CFNetwork/…" comes back as "MyApp/3.1 CFNetwork": the first word is the program.
  const program = (browser.name || text).split('/')[0]?.trim() ?? '';
  const device = platform.vendor === 'Apple' && platform.model ? platform.model : os.name;
  return (device ? `${program} on ${device}` : program).slice(0, LONGEST_NAME) || null;
}
