-- Nobody read it: each event says itself which came before it, and each room which it ends with.
DROP TABLE event_edge;
