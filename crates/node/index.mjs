import libmigrate from './index.js';

export const { Cycle, Engine, LibmigrateError, Replica, Source, Target, control, logs, version } = libmigrate;
