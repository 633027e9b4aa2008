package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// peer is a program of DPDK that forwards in memory. It is stopped by a signal while others are measured.
type peer struct {
	title   string
	command *exec.Cmd
	input   io.Closer
	output  bytes.Buffer
	exited  chan error // one value: how it ended
	control net.Conn   // DPDK's telemetry
	ports   int
	// directory is DPDK's for the process, with the socket of its telemetry.
	directory string
}

// testpmd is the name of DPDK's program.
const testpmd = "dpdk-testpmd"

// newTestpmd starts testpmd with two ports of net_null, whose frames have the length of ours, in a forwarding mode.
func newTestpmd(title, mode string, cpu, otherCPU int, huge bool) (*peer, error) {
	device := fmt.Sprintf("size=%d,copy=0", frameLen)
	args := append(eal(cpu, otherCPU, huge, "testpmd-"+mode), "--vdev=net_null0,"+device, "--vdev=net_null1,"+device, "--",
		"--forward-mode="+mode, "--nb-cores=1", "--total-num-mbufs=8192", "-i", "--auto-start")
	return startPeer(title, 2, testpmd, "testpmd-"+mode, args)
}

// eal are the arguments for DPDK's environment: the main thread on one CPU, the one that forwards on another.
func eal(cpu, otherCPU int, huge bool, prefix string) []string {
	args := []string{
		"-l", fmt.Sprintf("%d,%d", otherCPU, cpu), "--main-lcore", strconv.Itoa(otherCPU), "--no-pci",
		"--file-prefix", filePrefix(prefix),
	}
	if !huge {
		return append(args, "--no-huge", "-m", "64")
	}
	return append(args, "--in-memory", "-m", "64")
}

// filePrefix keeps runs and programs apart.
func filePrefix(name string) string { return fmt.Sprintf("nsrouter-%d-%s", os.Getpid(), name) }

// startPeer starts a program and waits until it forwards.
func startPeer(title string, ports int, program, prefix string, args []string, env ...string) (*peer, error) {
	p := &peer{title: title, ports: ports, command: exec.Command(program, args...), exited: make(chan error, 1)}
	p.directory = filepath.Join("/var/run/dpdk", filePrefix(prefix))
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	p.command.Env = append(os.Environ(), env...)
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.input = input
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	go func() { p.exited <- p.command.Wait() }()
	err = p.connect(filepath.Join(p.directory, "dpdk_telemetry.v2"))
	if err == nil {
		err = p.pause()
	}
	if err != nil {
		err = errors.Join(err, p.close())
		return nil, fmt.Errorf("%s: %w:\n%s", title, err, lastLines(p.output.String(), 12))
	}
	return p, nil
}

// startTime is how long a program may take to start.
const startTime = time.Minute

// connect waits for the program's telemetry, and for its first packets.
func (p *peer) connect(socket string) (err error) {
	for deadline := time.Now().Add(startTime); ; time.Sleep(50 * time.Millisecond) {
		if p.control == nil {
			if p.control, err = net.Dial("unixpacket", socket); err == nil {
				_, err = p.control.Read(make([]byte, 1024)) // it presents itself
			} else {
				p.control = nil
			}
		}
		if p.control != nil && err == nil {
			var n uint64
			if _, n, err = p.counts(); err == nil && n > 0 {
				return p.judge()
			}
		}
		select {
		case end := <-p.exited:
			p.exited <- end
			return fmt.Errorf("ended: %w", end)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("forwards nothing after %v (%w)", startTime, err)
		}
	}
}

// judge looks whether the program forwards what it receives. What it dropped before it began (testpmd does) does not count.
func (p *peer) judge() error {
	fromReceived, fromSent, err := p.counts()
	if err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond)
	received, sent, err := p.counts()
	if err != nil {
		return err
	}
	if received, sent = received-fromReceived, sent-fromSent; float64(sent) < .95*float64(received) {
		return fmt.Errorf("forwards %d of %d packets", sent, received)
	}
	return nil
}

// counts are how many packets the ports have received, and sent.
func (p *peer) counts() (received, sent uint64, err error) {
	for port := range p.ports {
		if _, err := fmt.Fprintf(p.control, "/ethdev/stats,%d", port); err != nil {
			return 0, 0, err
		}
		b := make([]byte, 1<<14)
		n, err := p.control.Read(b)
		if err != nil {
			return 0, 0, err
		}
		var answer map[string]struct{ Ipackets, Opackets uint64 }
		if err := json.Unmarshal(b[:n], &answer); err != nil {
			return 0, 0, fmt.Errorf("telemetry says %q: %w", b[:n], err)
		}
		received += answer["/ethdev/stats"].Ipackets
		sent += answer["/ethdev/stats"].Opackets
	}
	return received, sent, nil
}

func (p *peer) resume() error { return p.command.Process.Signal(syscall.SIGCONT) }
func (p *peer) pause() error  { return p.command.Process.Signal(syscall.SIGSTOP) }

func (p *peer) read() ([]reading, error) {
	_, n, err := p.counts()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.title, err)
	}
	used, err := processTime(p.command.Process.Pid)
	return []reading{{packets: n, used: used, at: time.Now()}}, err
}

// close ends the program.
func (p *peer) close() error {
	if p.control != nil {
		_ = p.control.Close()
	}
	_ = p.input.Close()
	_ = p.command.Process.Kill() // it has nothing to put away but its directory
	var killed *exec.ExitError
	if err := <-p.exited; err != nil && !errors.As(err, &killed) {
		return err
	}
	return os.RemoveAll(p.directory)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
