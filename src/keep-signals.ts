/**
 * Imported before everything else, which takes a while to load. The kernel gives process 1 of a container no signal that it does
 * not listen for, and so one that came meanwhile would be lost. From here on it waits until the event loop turns, and is
 * heard by whoever listens then.
 */
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => undefined);
