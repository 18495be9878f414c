/** A part of events that clients can cause at any rate. Equal ones that happen in a short time may become one event. */
export type Repeated = {
  /** The number of events that this one stands for; 1 by default. */
  readonly count?: number;
};
