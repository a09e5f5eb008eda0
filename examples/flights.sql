-- For each airport and day the three hours with the highest mean departure delay, with the weather that was
-- observed there when the hour began:
--   millstream run examples/flights.sql --output csv
CREATE TABLE flights (
  scheduled_departure TIMESTAMP(3),
  origin STRING,
  departure_delay_minutes INT,  -- NULL: the flight was cancelled
  WATERMARK FOR scheduled_departure AS scheduled_departure - INTERVAL '30' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/data/flights.csv.gz',
  'format' = 'csv',
  'csv.header' = 'true'
);

CREATE TABLE weather (
  observed_at TIMESTAMP(3),
  origin STRING,
  temperature_f DOUBLE,
  wind_speed_mph DOUBLE,
  WATERMARK FOR observed_at AS observed_at
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/data/weather.csv.gz',
  'format' = 'csv',
  'csv.header' = 'true'
);

-- The hours of each airport; those in which nothing has flown have no mean.
CREATE VIEW hours AS
SELECT origin, window_start,
       COUNT(*) AS flights,
       CAST(SUM(departure_delay_minutes) AS DECIMAL(18, 0)) / COUNT(departure_delay_minutes) AS mean
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(scheduled_departure), INTERVAL '1' HOUR))
GROUP BY origin, window_start, window_end
HAVING COUNT(departure_delay_minutes) > 0;

-- The worst three of each airport and day; of equals the earlier one is worse.
CREATE VIEW worst AS
SELECT origin, window_start, place, flights, mean
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY origin, CAST(window_start AS DATE) ORDER BY mean DESC, window_start) AS place
  FROM hours
)
WHERE place <= 3;

-- Of several observations of one hour the last one counts.
CREATE VIEW observed AS
SELECT origin, observed_at, temperature_f, wind_speed_mph
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY origin, observed_at ORDER BY observed_at DESC) AS n
  FROM weather
)
WHERE n = 1;

SELECT w.origin,
       CAST(w.window_start AS TIMESTAMP(0)) AS window_start,
       w.place,
       w.flights,
       CAST(w.mean AS DECIMAL(18, 6)) AS mean_departure_delay_minutes,
       o.temperature_f,
       o.wind_speed_mph
FROM worst w
LEFT JOIN observed o ON w.origin = o.origin AND w.window_start = o.observed_at;
