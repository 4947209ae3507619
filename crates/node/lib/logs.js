'use strict';

const native = require('./native.js');
const { optionsOf, text } = require('./arguments.js');
const { call } = require('./error.js');
const { Reader } = require('./reader.js');

/** What the library says of itself, line by line. There is one log in a process. */
function logs(options) {
  const { level = 'info', signal } = optionsOf(options, ['level', 'signal']);
  const least = text('level', level);
  let rung = false;
  let wake = () => {};
  const ring = () => {
    rung = true;
    wake();
  };
  const open = call(() => new native.Logs(least, ring));
  return new Reader({
    signal,
    take: () => {
      rung = false;
      const line = open.tryNext();
      return line === null ? undefined : JSON.parse(line);
    },
    wait: async () => {
      // A line may have come since the last look.
      if (!rung) await new Promise((resolve) => { wake = resolve; });
      return true;
    },
    release: () => open.close(),
  });
}

module.exports = { logs };
