package com.thoughtworks.gocd;

/**
 * With {@code -Dgocd.host.interrupt=true} interrupts the launching thread every 100 ms until the launcher runs, to try
 * whoever waits on that thread. Not a rule of GoCD's.
 */
final class Interrupter implements Runnable {
    private final Thread launching;

    private Interrupter(Thread launching) {
        this.launching = launching;
    }

    static void startIfAsked() {
        if (Boolean.getBoolean("gocd.host.interrupt")) {
            Thread thread = new Thread(new Interrupter(Thread.currentThread()), "gocd-host-interrupter");
            thread.setDaemon(true);
            thread.start();
        }
    }

    @Override
    public void run() {
        while (System.getProperty("gocd.host.launched") == null) {
            launching.interrupt();
            try {
                Thread.sleep(100);
            } catch (InterruptedException ending) {
                return;
            }
        }
    }
}
