DROP TABLE account_events, positions, fills, orders, accounts;
