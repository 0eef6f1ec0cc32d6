import { parse } from 'bowser';

const LONGEST_NAME = 60;

/**
 * A `User-Agent` shortened to what its owner recognises: `Firefox on Windows`, `Safari on iPhone`, `curl`. Programs that
 * are no browsers are called what they call themselves. `null` when there is nothing to tell.
 */
export function deviceName(userAgent: string | null): string | null {
  const text = userAgent?.trim() ?? '';
  if (text === '') return null;
  const { browser, os, platform } = parse(text);
  // "MyApp/3.1 CFNetwork/…" comes back as "MyApp/3.1 CFNetwork": the first word is the program.
  const program = (browser.name || text).split('/')[0]?.trim() ?? '';
  const device = platform.vendor === 'Apple' && platform.model ? platform.model : os.name;
  return (device ? `${program} on ${device}` : program).slice(0, LONGEST_NAME) || null;
}
