// @ts-check
// Runs in a worker thread of its own: a statement over a whole database takes long, and stops its thread meanwhile.
// JavaScript, so that the thread starts alike from the build and from the sources under test.
'use strict';

const { URL } = require('node:url');
const { parentPort, workerData } = require('node:worker_threads');
const { DatabaseSync } = require('@photostructure/sqlite');

/** How it is opened stands in the URL. @type {{ url: string, timeout: number, sql: string, parameters: string[] }} */
const { url, timeout, sql, parameters } = workerData;
const database = new DatabaseSync(new URL(url), { timeout });
let rows;
try {
  rows = database.prepare(sql).all(...parameters);
} finally {
  database.close();
}
// Not before: who closes last writes the log back.
parentPort?.postMessage(rows);
