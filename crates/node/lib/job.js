'use strict';

const { LibmigrateError, call, failureOf } = require('./error.js');

/**
 * A promise of what a native job comes to.
 *
 * When the signal aborts, the job is cancelled, and the promise is rejected with the signal's reason once the job has
 * ended, which takes less than a second: nothing goes on behind it. A job that succeeds all the same is a success.
 *
 * @param start makes the job
 * @param finish makes the result of what the job gives
 * @param weak lets the process end meanwhile, as a listener does
 * @param asked sources and credentials of the program's own that the job may ask
 */
async function promise(start, { signal, finish = (given) => given, weak = false, asked = [] } = {}) {
  signal?.throwIfAborted();
  const job = call(start);
  const users = asked.filter((one) => one !== undefined);
  const cancel = () => job.cancel();
  users.forEach((one) => one.begin());
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    await new Promise((resolve) => call(() => job.onDone(resolve, weak)));
  } finally {
    signal?.removeEventListener('abort', cancel);
    users.forEach((one) => one.end());
  }
  let given;
  try {
    given = job.take();
  } catch (thrown) {
    if (signal?.aborted) throw signal.reason;
    throw failed(failureOf(thrown), users);
  }
  return finish(given);
}

/** The error of a failure, with what was thrown by whoever it was that failed. */
function failed(failure, users) {
  const words = [failure.message, ...failure.causes];
  const thrown = users.map((one) => one.thrown).find((each) => each && words.some((text) => text.includes(each.words)));
  return new LibmigrateError(failure, thrown && { cause: thrown.error });
}

module.exports = { promise };
