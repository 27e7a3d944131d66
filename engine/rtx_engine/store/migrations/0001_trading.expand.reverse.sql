-- squawk-ignore-file ban-drop-table
DROP TABLE account_events, positions, fills, orders, accounts;
