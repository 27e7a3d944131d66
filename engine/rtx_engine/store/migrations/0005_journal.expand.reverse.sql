-- squawk-ignore-file ban-drop-column, ban-drop-function, ban-drop-table, ban-drop-view
DROP VIEW ledger;
DROP TRIGGER opens_with_sequence ON positions;
DROP TRIGGER moves_with_sequence ON positions;
DROP TRIGGER goes_with_sequence ON positions;
DROP FUNCTION refuse_position_without_sequence();
ALTER TABLE positions DROP COLUMN sequence;
DROP TRIGGER moves_with_sequence ON accounts;
DROP FUNCTION refuse_without_sequence();
DROP TRIGGER enter_opening ON accounts;
DROP FUNCTION enter_opening();
DROP FUNCTION make_journal_weeks(integer);
DROP TABLE journal;
