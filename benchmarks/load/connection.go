package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// One keep-alive connection of HTTP/1.1, without a library: a request is one write, an answer is what its head says.
type connection struct {
	target string
	until  time.Time // no answer is waited for longer
	socket net.Conn
	reader *bufio.Reader
	body   []byte
}

func (c *connection) open() error {
	network, address := "tcp", c.target
	if path, unix := strings.CutPrefix(c.target, "unix:"); unix {
		network, address = "unix", path
	}
	socket, err := net.DialTimeout(network, address, time.Until(c.until))
	if err != nil {
		return err
	}
	if err := socket.SetDeadline(c.until); err != nil {
		return err
	}
	if c.reader == nil {
		c.reader = bufio.NewReaderSize(socket, 16<<10)
	} else {
		c.reader.Reset(socket)
	}
	c.socket = socket
	return nil
}

func (c *connection) close() {
	if c.socket != nil {
		c.socket.Close()
		c.socket = nil
	}
}

// ask sends a request and reads the answer: its status, and its body until the next call; opens what is not open.
func (c *connection) ask(request []byte) (status int, body []byte, err error) {
	if c.socket == nil {
		if err := c.open(); err != nil {
			return 0, nil, err
		}
	}
	if _, err := c.socket.Write(request); err != nil {
		c.close()
		return 0, nil, err
	}
	status, keep, err := c.answer()
	if err != nil || !keep {
		c.close()
	}
	return status, c.body, err
}

var (
	contentLength    = []byte("content-length")
	transferEncoding = []byte("transfer-encoding")
	connectionHeader = []byte("connection")
)

func (c *connection) answer() (status int, keep bool, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, false, fmt.Errorf("not an answer of HTTP/1.1: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, err
	}
	length, chunked, keep := -1, false, true
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, contentLength):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, err
			}
		case bytes.EqualFold(name, transferEncoding):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, connectionHeader):
			keep = !bytes.EqualFold(value, []byte("close"))
		}
	}
	c.body = c.body[:0]
	if chunked {
		return status, keep, c.readChunks()
	}
	if length < 0 {
		return 0, false, errors.New("an answer without a length")
	}
	return status, keep, c.read(length)
}

func (c *connection) read(length int) error {
	start := len(c.body)
	c.body = append(c.body, make([]byte, length)...)
	_, err := io.ReadFull(c.reader, c.body[start:])
	return err
}

func (c *connection) readChunks() error {
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		length, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return err
		}
		if err := c.read(int(length)); err != nil {
			return err
		}
		if _, err := c.reader.Discard(2); err != nil {
			return err
		}
		if length == 0 {
			return nil
		}
	}
}
