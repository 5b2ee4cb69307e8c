/* Reads plain tokens without the interpreter: the twin of reader.py in C.
 *
 * reader.py says what each name means. Waiting, receiving and comparing need no lock of the interpreter; whatever is not a
 * plain token is handed over as it was received. */

#define _GNU_SOURCE /* memmem */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NANO 1000000000LL
#define EVENTS 256
#define CHUNK_BYTES 16384
#define HEADER_BYTES 8 /* of a chunk: its size and the end of the line */
#define SIZE_LIMIT 4096

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NANO + now.tv_nsec;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Gaps: the pauses between the chunks of one stream. */

typedef struct {
    PyObject_HEAD
    int64_t last_ns;
    int32_t *us;
    Py_ssize_t count, room;
    bool begun;
} Gaps;

/* Needs no lock of the interpreter; false if there is no memory. */
static bool gaps_note(Gaps *gaps, int64_t now_ns)
{
    if (gaps->begun) {
        if (gaps->count == gaps->room) {
            Py_ssize_t room = gaps->room ? 2 * gaps->room : 64;
            int32_t *us = realloc(gaps->us, room * sizeof *us);
            if (us == NULL)
                return false;
            gaps->us = us;
            gaps->room = room;
        }
        int64_t us = (most(0, now_ns - gaps->last_ns) + 500) / 1000;
        gaps->us[gaps->count++] = (int32_t)least(us, INT32_MAX);
    }
    gaps->begun = true;
    gaps->last_ns = now_ns;
    return true;
}

static void gaps_dealloc(Gaps *gaps)
{
    PyTypeObject *type = Py_TYPE(gaps);
    free(gaps->us);
    type->tp_free((PyObject *)gaps);
    Py_DECREF(type);
}

static PyObject *gaps_note_method(Gaps *gaps, PyObject *now_ns)
{
    int64_t now = PyLong_AsLongLong(now_ns);
    if (now == -1 && PyErr_Occurred())
        return NULL;
    if (!gaps_note(gaps, now))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *gaps_us(Gaps *gaps, PyObject *Py_UNUSED(none))
{
    PyObject *module = PyImport_ImportModule("array");
    if (module == NULL)
        return NULL;
    const char *bytes = gaps->count ? (char *)gaps->us : "";
    PyObject *found = PyObject_CallMethod(module, "array", "sy#", "i", bytes,
                                          gaps->count * (Py_ssize_t)sizeof *gaps->us);
    Py_DECREF(module);
    return found;
}

static Py_ssize_t gaps_length(Gaps *gaps) { return gaps->count; }

static PyObject *gaps_last_ns(Gaps *gaps, void *Py_UNUSED(closure))
{
    if (!gaps->begun)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(gaps->last_ns);
}

static PyMethodDef gaps_methods[] = {
    {"note", (PyCFunction)gaps_note_method, METH_O, "Note a chunk at this time."},
    {"us", (PyCFunction)gaps_us, METH_NOARGS, "Return the pauses in microseconds."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef gaps_attributes[] = {
    {"last_ns", (getter)gaps_last_ns, NULL, "Time of the last chunk; None before the first.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot gaps_slots[] = {
    {Py_tp_dealloc, gaps_dealloc},
    {Py_tp_methods, gaps_methods},
    {Py_tp_getset, gaps_attributes},
    {Py_sq_length, gaps_length},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_doc, "The pauses between the chunks of one stream."},
    {0, NULL},
};

static PyType_Spec gaps_spec = {
    "hotfire.traffic.wire._reader.Gaps", sizeof(Gaps), 0, Py_TPFLAGS_DEFAULT, gaps_slots,
};

static PyTypeObject *GapsType;

/* What a plain token looks like on the wire. */

static bool is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The bytes of a JSON string's text from its start to its end; 0 if there is none. */
static Py_ssize_t text_bytes(const char *start, const char *stop)
{
    const char *at = start;
    while (at < stop && *at != '"') {
        unsigned char c = *at++;
        if (c < 0x20)
            return 0;
        if (c != '\\')
            continue;
        if (at == stop)
            return 0;
        c = *at++;
        if (c == 'u') {
            for (int digit = 0; digit < 4; digit++, at++)
                if (at == stop || !is_hex(*at))
                    return 0;
        } else if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL) {
            return 0;
        }
    }
    return at - start;
}

/* The events between two places, all of them plain tokens; 0 if anything else is there. */
static Py_ssize_t plain_events(const char *at, const char *stop, PyObject *before, PyObject *after)
{
    const Py_ssize_t head = PyBytes_GET_SIZE(before), foot = PyBytes_GET_SIZE(after);
    Py_ssize_t count = 0;
    for (; at < stop; count++) {
        if (stop - at < head || memcmp(at, PyBytes_AS_STRING(before), head) != 0)
            return 0;
        at += head;
        Py_ssize_t text = text_bytes(at, stop);
        at += text;
        if (!text || stop - at < foot || memcmp(at, PyBytes_AS_STRING(after), foot) != 0)
            return 0;
        at += foot;
    }
    return count;
}

/* The size that a chunk's first line tells, and where its body begins; 0 for any other line. One
 * spelling only, all digits of one case and none to spare: any other is read the long way. */
static Py_ssize_t chunk_size(const char **at, const char *stop)
{
    const char *digit = *at;
    Py_ssize_t size = 0;
    bool lower = false, upper = false;
    for (; digit < stop && digit - *at < HEADER_BYTES && is_hex(*digit); digit++) {
        unsigned char c = *digit;
        lower = lower || c >= 'a';
        upper = upper || (c >= 'A' && c <= 'F');
        size = 16 * size + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (**at == '0' || (lower && upper) || size >= SIZE_LIMIT)
        return 0;
    if (stop - digit < 2 || digit[0] != '\r' || digit[1] != '\n')
        return 0;
    *at = digit + 2;
    return size;
}

/* The tokens of whole chunks that hold plain tokens only; 0 if there is anything else. */
static Py_ssize_t plain_tokens(const char *at, const char *stop, PyObject *before, PyObject *after)
{
    Py_ssize_t tokens = 0;
    while (at < stop) {
        Py_ssize_t size = chunk_size(&at, stop);
        if (!size || stop - at < size + 2 || at[size] != '\r' || at[size + 1] != '\n')
            return 0;
        Py_ssize_t count = plain_events(at, at + size, before, after);
        if (!count)
            return 0;
        tokens += count;
        at += size + 2;
    }
    return tokens;
}

/* Whether this is the whole head of an answer that goes on, and nothing else. */
static bool is_head(const char *start, const char *stop)
{
    static const char status[] = "HTTP/1.1 200", end[] = "\r\n\r\n";
    const Py_ssize_t end_bytes = sizeof end - 1;
    return stop - start > (Py_ssize_t)sizeof status
        && memcmp(start, status, sizeof status - 1) == 0
        && memcmp(stop - end_bytes, end, end_bytes) == 0
        && memmem(start, stop - start, end, end_bytes) == stop - end_bytes;
}

/* Reader: waits for events and reads the streams whose plain tokens it knows. */

typedef struct {
    Gaps *gaps; /* NULL: nothing is read here */
    PyObject *before, *after; /* of a plain token; NULL: none is known yet */
    int64_t floor_ns; /* nothing that is read from now on came earlier */
    bool missed; /* what was read is still to be handed over, so all that follows is too */
} Stream;

typedef struct Missed {
    struct Missed *next;
    int fd, error;
    uint32_t events;
    int64_t at_ns;
    Py_ssize_t size; /* -1: nothing was read */
    char data[];
} Missed;

typedef struct {
    PyObject_HEAD
    PyObject *epoll; /* kept, so that its file is open */
    int epoll_fd;
    Stream *streams;
    int room;
    int64_t tick_step_ns, tick_ns, last_ns, began_ns, now_ns, epoch_ns;
    uint32_t *lags;
    Py_ssize_t lag_count, lag_room;
    Missed *first, **end;
    bool lazy, polling, urgent, no_memory, coarse;
    struct epoll_event events[EVENTS];
    char data[CHUNK_BYTES];
} Reader;

static int reader_init(Reader *reader, PyObject *args, PyObject *names)
{
    static char *known[] = {"epoll", "tick_ns", "lazy", NULL};
    PyObject *epoll;
    long long step;
    int lazy = 0;
    if (!PyArg_ParseTupleAndKeywords(args, names, "O$Lp", known, &epoll, &step, &lazy))
        return -1;
    int fd = PyObject_AsFileDescriptor(epoll);
    if (fd < 0)
        return -1;
    Py_INCREF(epoll);
    Py_XSETREF(reader->epoll, epoll);
    reader->epoll_fd = fd;
    reader->tick_step_ns = step;
    reader->lazy = lazy;
    reader->last_ns = reader->began_ns = reader->now_ns = monotonic_ns();
    reader->tick_ns = reader->now_ns + step;
    return 0;
}

static void forget(Reader *reader, int fd)
{
    if (fd < 0 || fd >= reader->room || reader->streams[fd].gaps == NULL)
        return;
    Stream *stream = &reader->streams[fd];
    Py_CLEAR(stream->gaps);
    Py_CLEAR(stream->before);
    Py_CLEAR(stream->after);
    stream->missed = false;
}

static void reader_dealloc(Reader *reader)
{
    PyTypeObject *type = Py_TYPE(reader);
    for (int fd = 0; fd < reader->room; fd++)
        forget(reader, fd);
    free(reader->streams);
    free(reader->lags);
    Py_XDECREF(reader->epoll);
    type->tp_free((PyObject *)reader);
    Py_DECREF(type);
}

static bool idle(Reader *reader)
{
    if (!reader->polling)
        return true;
    PyErr_SetString(PyExc_RuntimeError, "a reader serves one thread, and it is waiting in poll");
    return false;
}

static PyObject *reader_attach(Reader *reader, PyObject *args)
{
    int fd;
    long long floor_ns;
    PyObject *socket, *gaps, *template;
    if (!idle(reader)
        || !PyArg_ParseTuple(args, "OO!OL", &socket, GapsType, &gaps, &template, &floor_ns))
        return NULL;
    if ((fd = PyObject_AsFileDescriptor(socket)) < 0)
        return NULL;
    if (fd >= reader->room) {
        int room = fd + 256;
        Stream *streams = realloc(reader->streams, room * sizeof *streams);
        if (streams == NULL)
            return PyErr_NoMemory();
        memset(streams + reader->room, 0, (room - reader->room) * sizeof *streams);
        reader->streams = streams;
        reader->room = room;
    }
    PyObject *before = NULL, *after = NULL;
    if (template != Py_None) {
        before = PyObject_GetAttrString(template, "before");
        after = before ? PyObject_GetAttrString(template, "after") : NULL;
        if (after == NULL || !PyBytes_Check(before) || !PyBytes_Check(after)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "a template's before and after are bytes");
            Py_XDECREF(before);
            Py_XDECREF(after);
            return NULL;
        }
    }
    forget(reader, fd);
    Py_INCREF(gaps);
    reader->streams[fd] = (Stream){(Gaps *)gaps, before, after, floor_ns, false};
    Py_RETURN_NONE;
}

static PyObject *reader_detach(Reader *reader, PyObject *number)
{
    long fd = PyLong_AsLong(number);
    if ((fd == -1 && PyErr_Occurred()) || !idle(reader))
        return NULL;
    if (fd >= 0 && fd < reader->room)
        forget(reader, (int)fd);
    Py_RETURN_NONE;
}

static int64_t stamp(Reader *reader, int64_t epoch_ns, int64_t floor_ns)
{
    int64_t at = epoch_ns - reader->epoch_ns;
    if (floor_ns <= at && at <= reader->now_ns && reader->last_ns <= at)
        return at;
    return least(most(most(at, floor_ns), reader->last_ns), monotonic_ns());
}

static PyObject *reader_stamp(Reader *reader, PyObject *args)
{
    long long epoch_ns, floor_ns;
    if (!PyArg_ParseTuple(args, "LL", &epoch_ns, &floor_ns))
        return NULL;
    return PyLong_FromLongLong(stamp(reader, epoch_ns, floor_ns));
}

/* When the bytes just received arrived, as the kernel told; now if it did not. */
static int64_t arrived(Reader *reader, struct msghdr *message, int64_t floor_ns)
{
    struct cmsghdr *told = CMSG_FIRSTHDR(message);
    if (told == NULL || told->cmsg_level != SOL_SOCKET || told->cmsg_type != SCM_TIMESTAMPNS)
        return monotonic_ns();
    struct timespec at;
    memcpy(&at, CMSG_DATA(told), sizeof at);
    return stamp(reader, at.tv_sec * NANO + at.tv_nsec, floor_ns);
}

static void miss(Reader *reader, const struct epoll_event *event, Py_ssize_t size, int64_t at_ns,
                 int error, bool urgent)
{
    reader->urgent = reader->urgent || urgent;
    Missed *missed = malloc(sizeof *missed + (size > 0 ? size : 0));
    if (missed == NULL) {
        reader->no_memory = true;
        return;
    }
    *missed = (Missed){NULL, event->data.fd, error, event->events, at_ns, size};
    if (size > 0)
        memcpy(missed->data, reader->data, size);
    *reader->end = missed;
    reader->end = &missed->next;
}

static void read_stream(Reader *reader, Stream *stream, const struct epoll_event *event)
{
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } told;
    struct iovec into = {reader->data, CHUNK_BYTES};
    struct msghdr message = {
        .msg_iov = &into, .msg_iovlen = 1,
        .msg_control = told.bytes, .msg_controllen = sizeof told.bytes,
    };
    ssize_t size;
    do
        size = recvmsg(event->data.fd, &message, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    if (size < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            miss(reader, event, -1, 0, errno, true);
        return;
    }
    const char *start = reader->data, *stop = start + size;
    const bool known = stream->before != NULL;
    int64_t at = arrived(reader, &message, stream->floor_ns);
    stream->floor_ns = at;
    Py_ssize_t tokens =
        known && !stream->missed ? plain_tokens(start, stop, stream->before, stream->after) : 0;
    if (!tokens) {
        stream->missed = true;
        miss(reader, event, size, at, 0, !size || !(known ? reader->lazy : is_head(start, stop)));
        return;
    }
    while (tokens--)
        if (!gaps_note(stream->gaps, at))
            reader->no_memory = true;
}

static void note_lag(Reader *reader, int64_t now)
{
    if (reader->lag_count == reader->lag_room) {
        Py_ssize_t room = reader->lag_room + 64;
        uint32_t *lags = realloc(reader->lags, room * sizeof *lags);
        if (lags == NULL) {
            reader->no_memory = true;
            return;
        }
        reader->lags = lags;
        reader->lag_room = room;
    }
    int64_t lag = (now - reader->tick_ns) / 1000;
    reader->lags[reader->lag_count++] = (uint32_t)least(lag, UINT32_MAX);
    reader->tick_ns = now + reader->tick_step_ns;
}

/* Wait as epoll_wait does, to the nanosecond where the kernel can, else to the millisecond. */
static int await(Reader *reader, int64_t wait_ns)
{
#ifdef SYS_epoll_pwait2
    if (!reader->coarse) {
        struct timespec wait = {wait_ns / NANO, wait_ns % NANO};
        long count = syscall(SYS_epoll_pwait2, reader->epoll_fd, reader->events, EVENTS, &wait,
                             NULL, (size_t)0);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)count;
        reader->coarse = true;
    }
#endif
    return epoll_wait(reader->epoll_fd, reader->events, EVENTS,
                      (int)((wait_ns + 999999) / 1000000));
}

/* Serve until there is something for the interpreter or a moment has come; 0, or an error number.
 * Called without the interpreter's lock. */
static int serve(Reader *reader, int64_t until_ns)
{
    for (;;) {
        reader->last_ns = reader->began_ns;
        reader->began_ns = monotonic_ns();
        int64_t wait = most(0, least(reader->tick_ns, until_ns) - reader->began_ns);
        int count = await(reader, wait);
        if (count < 0)
            return errno;
        reader->now_ns = monotonic_ns();
        for (int place = 0; place < count; place++) {
            const struct epoll_event *event = &reader->events[place];
            int fd = event->data.fd;
            Stream *stream = fd < reader->room ? &reader->streams[fd] : NULL;
            if (stream == NULL || stream->gaps == NULL || event->events != EPOLLIN)
                miss(reader, event, -1, 0, 0, true);
            else
                read_stream(reader, stream, event);
        }
        int64_t now = monotonic_ns();
        if (now >= reader->tick_ns)
            note_lag(reader, now);
        if (reader->urgent || reader->no_memory || now >= until_ns)
            return 0;
    }
}

/* One event as the interpreter sees it. */
static PyObject *told(const Missed *missed)
{
    if (missed->size < 0)
        return Py_BuildValue("iIOi", missed->fd, missed->events, Py_None, missed->error);
    return Py_BuildValue("iIy#L", missed->fd, missed->events, missed->data, missed->size,
                         (long long)missed->at_ns);
}

/* Hand over what was missed, and free it whatever happens. */
static PyObject *handed_over(Reader *reader)
{
    PyObject *list = reader->no_memory ? PyErr_NoMemory() : PyList_New(0);
    for (Missed *missed = reader->first, *next; missed != NULL; missed = next) {
        next = missed->next;
        forget(reader, missed->fd);
        PyObject *one = list ? told(missed) : NULL;
        if (list && (one == NULL || PyList_Append(list, one) < 0))
            Py_CLEAR(list);
        Py_XDECREF(one);
        free(missed);
    }
    reader->first = NULL;
    reader->urgent = reader->no_memory = false;
    return list;
}

static PyObject *reader_poll(Reader *reader, PyObject *moment)
{
    int64_t until_ns = PyLong_AsLongLong(moment);
    if ((until_ns == -1 && PyErr_Occurred()) || !idle(reader))
        return NULL;
    reader->end = &reader->first;
    reader->polling = true;
    int error;
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        error = serve(reader, until_ns);
        Py_END_ALLOW_THREADS
        if (error != EINTR || PyErr_CheckSignals() < 0)
            break;
    }
    reader->polling = false;
    PyObject *missed = handed_over(reader);
    if (error && missed) {
        Py_CLEAR(missed);
        if (!PyErr_Occurred()) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    return missed;
}

static PyObject *reader_lags_us(Reader *reader, PyObject *Py_UNUSED(none))
{
    PyObject *lags = PyList_New(reader->lag_count);
    for (Py_ssize_t place = 0; lags && place < reader->lag_count; place++) {
        PyObject *lag = PyLong_FromUnsignedLong(reader->lags[place]);
        if (lag == NULL)
            Py_CLEAR(lags);
        else
            PyList_SET_ITEM(lags, place, lag);
    }
    reader->lag_count = lags ? 0 : reader->lag_count;
    return lags;
}

static PyObject *reader_epoch_ns(Reader *reader, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(reader->epoch_ns);
}

static int reader_set_epoch_ns(Reader *reader, PyObject *value, void *Py_UNUSED(closure))
{
    int64_t epoch_ns = value ? PyLong_AsLongLong(value) : 0;
    if (epoch_ns == -1 && PyErr_Occurred())
        return -1;
    reader->epoch_ns = epoch_ns;
    return 0;
}

static PyMethodDef reader_methods[] = {
    {"attach", (PyCFunction)reader_attach, METH_VARARGS,
     "Read a socket's plain tokens here from now on."},
    {"detach", (PyCFunction)reader_detach, METH_O, "Leave a file to the caller."},
    {"poll", (PyCFunction)reader_poll, METH_O, "Serve until something is for the caller."},
    {"stamp", (PyCFunction)reader_stamp, METH_VARARGS, "Return an arrival on the monotonic clock."},
    {"lags_us", (PyCFunction)reader_lags_us, METH_NOARGS, "Return how late ticks came."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef reader_attributes[] = {
    {"epoch_ns", (getter)reader_epoch_ns, (setter)reader_set_epoch_ns,
     "Epoch less monotonic time.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_init, reader_init},
    {Py_tp_methods, reader_methods},
    {Py_tp_getset, reader_attributes},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_doc, "Waits for events and reads plain tokens."},
    {0, NULL},
};

static PyType_Spec reader_spec = {
    "hotfire.traffic.wire._reader.Reader", sizeof(Reader), 0, Py_TPFLAGS_DEFAULT, reader_slots,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "hotfire.traffic.wire._reader",
    "The reading of plain tokens without the interpreter.", -1, NULL, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__reader(void)
{
    PyObject *made = PyModule_Create(&module);
    PyObject *reader = PyType_FromSpec(&reader_spec);
    GapsType = (PyTypeObject *)PyType_FromSpec(&gaps_spec);
    if (made == NULL || reader == NULL || GapsType == NULL
        || PyModule_AddObjectRef(made, "Gaps", (PyObject *)GapsType) < 0
        || PyModule_AddObjectRef(made, "Reader", reader) < 0) {
        Py_XDECREF(made);
        made = NULL;
    }
    Py_XDECREF(reader);
    return made;
}
