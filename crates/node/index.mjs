import libmigrate from './index.js';

export const { Cycle, Engine, LibmigrateError, Project, Replica, Source, Target, control, logs, version } = libmigrate;
