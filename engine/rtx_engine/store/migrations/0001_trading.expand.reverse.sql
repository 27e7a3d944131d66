-- squawk-ignore-file ban-drop-table
-- rtx: allows table-lock: the statements below take the same; these are had before anything is rewritten
LOCK TABLE accounts, orders, fills, positions, account_events IN ACCESS EXCLUSIVE MODE;
DROP TABLE account_events, positions, fills, orders, accounts;
