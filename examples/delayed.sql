-- Flights that left more than ten hours late, in Flink's SQL:
--   millstream run examples/delayed.sql
CREATE TABLE flights (
  carrier STRING,
  flight INT,
  origin STRING,
  destination STRING,
  scheduled_departure TIMESTAMP(0),
  departure_delay_minutes INT
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/data/flights.csv.gz',
  'format' = 'csv',
  'csv.header' = 'true'
);

SELECT carrier || CAST(flight AS STRING) AS flight,
       origin || '-' || destination AS route,
       DATE_FORMAT(scheduled_departure, 'yyyy-MM-dd HH:mm') AS scheduled,
       departure_delay_minutes / 60 AS hours_late
FROM flights
WHERE departure_delay_minutes > 600;
