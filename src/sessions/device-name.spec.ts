import { deviceName } from './device-name';

describe('the name of a device', () => {
  it.each([
    [
      'Edge on Windows',
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.51',
      'Microsoft Edge on Windows',
    ],
    [
      'Safari on a phone',
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1',
      'Safari on iPhone',
    ],
    [
      'Safari on a Mac',
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15',
      'Safari on macOS',
    ],
    [
      'Firefox on Linux',
      'Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0',
      'Firefox on Linux',
    ],
    [
      'Chrome on a phone',
      'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36',
      'Chrome on Android',
    ],
    ['an app', 'Field Notes/1.2.3 (iPhone; iOS 17.5; Scale/3.00)', 'Field Notes on iPhone'],
    ['an app without words about its device', 'FieldNotes/12 CFNetwork/1490.0.4 Darwin/23.2.0', 'FieldNotes'],
    ['a program', 'curl/8.5.0', 'curl'],
    ['a program without a version', 'node', 'node'],
    ['one of 256 letters', 'x'.repeat(256), 'x'.repeat(60)],
  ])('is short for %s', (_, userAgent, name) => {
    expect(deviceName(userAgent)).toBe(name);
  });

  it.each([[null], [''], ['  '], ['/'], ['///']])(
    'is null where there is nothing to tell: %j',
    (userAgent) => {
      expect(deviceName(userAgent)).toBeNull();
    },
  );
});
