DELETE FROM journal WHERE kind = 1 AND author = 'migration';
