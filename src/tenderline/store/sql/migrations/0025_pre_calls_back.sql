-- Whether a node could call back now whoever kept a place: its agents are matched with kept places only then.
SET LOCAL lock_timeout = '5s';

-- True until a node says otherwise: one of an earlier version says nothing, and calls back.
ALTER TABLE voice_node ADD COLUMN calls_back boolean NOT NULL DEFAULT true;
