-- The tables that it filled go with 0006; to fill them again changes nothing.
SELECT;
