// @ts-check
// Loaded into a process that is to take itself for process 1 of a container.
'use strict';

Object.defineProperty(process, 'pid', { value: 1 });
